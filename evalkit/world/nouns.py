"""The table of nouns. Within a kind the order is that of frequency: the first words are drawn most often.

An entry: English, French, gender; then, where irregular, English plural/French plural; then + and tags.
English plural "-": always said of one (a mass: "some bread").

Tags of people: M or F, where the English possessive (his, her) is fixed.
Tags of places: i in, o on, n near, b behind and in front of, t one can go to it; X can be crossed, B can be built.
Other tags: O can be opened, C can be filled, R can be read, W can be written, T can be told, V grows and can be
picked, D can be driven, L can be lit. U (a mass) follows from the plural.
"""

from __future__ import annotations

__all__ = ["NOUN_TABLE"]

NOUN_TABLE = """
person
man homme m men/ +M | woman femme f women/ +F | child enfant m children/ | boy garçon m +M | girl fille f +F
friend ami m | king roi m +M | mother mère f +F | father père m +M | teacher professeur m | brother frère m +M
doctor médecin m | sister sœur f +F | queen reine f +F | neighbour voisin m | baker boulanger m | uncle oncle m +M
farmer fermier m | aunt tante f +F | prince prince m +M | princess princesse f +F | painter peintre m
sailor marin m | gardener jardinier m | son fils m +M | baby bébé m | cousin cousin m | soldier soldat m
thief voleur m thieves/ | student étudiant m | singer chanteur m | captain capitaine m | judge juge m
husband mari m +M | guest invité m | cook cuisinier m | driver chauffeur m | writer écrivain m | poet poète m
nurse infirmière f | lawyer avocat m | butcher boucher m | shepherd berger m | hunter chasseur m
knight chevalier m +M | witch sorcière f +F | wizard sorcier m +M | giant géant m | dwarf nain m dwarves/
fairy fée f +F | pirate pirate m | ghost fantôme m | clown clown m | dancer danseur m | actor acteur m +M
tailor tailleur m | waiter serveur m +M | fisherman pêcheur m fishermen/ +M | postman facteur m postmen/ +M
policeman policier m policemen/ +M | fireman pompier m firemen/ +M | mayor maire m | minister ministre m
priest prêtre m | monk moine m +M | nun religieuse f +F | widow veuve f +F | orphan orphelin m
nephew neveu m +M | niece nièce f +F | granny mamie f +F | duke duc m +M | duchess duchesse f +F
hero héros m heroes/ | spy espion m | beggar mendiant m | guard gardien m | servant domestique m
hairdresser coiffeur m | dentist dentiste m | scientist savant m | engineer ingénieur m | musician musicien m
athlete athlète m | champion champion m | tourist touriste m | customer client m | merchant marchand m
inventor inventeur m | sculptor sculpteur m | jeweller bijoutier m | locksmith serrurier m | plumber plombier m
carpenter charpentier m | blacksmith forgeron m | miner mineur m | pilot pilote m | mason maçon m
weaver tisserand m | cobbler cordonnier m | miller meunier m | baron baron m +M | prisoner prisonnier m
boss patron m | colleague collègue m | witness témoin m | traveller voyageur m | translator traducteur m
swimmer nageur m | goldsmith orfèvre m
animal
dog chien m | cat chat m | horse cheval m | bird oiseau m | cow vache f | mouse souris f mice/ | pig cochon m
rabbit lapin m | duck canard m | hen poule f | wolf loup m wolves/ | bear ours m | fox renard m
frog grenouille f | bee abeille f | goat chèvre f | lion lion m | monkey singe m | donkey âne m | owl chouette f
spider araignée f | snake serpent m | tiger tigre m | elephant éléphant m | rat rat m | squirrel écureuil m
turtle tortue f | fly mouche f | ant fourmi f | butterfly papillon m | goose oie f geese/ | rooster coq m
pigeon pigeon m | crow corbeau m | swan cygne m | camel chameau m | mule mulet m | giraffe girafe f
zebra zèbre m | parrot perroquet m | hedgehog hérisson m | snail escargot m | worm ver m
mosquito moustique m mosquitoes/ | dolphin dauphin m | whale baleine f | shark requin m | crocodile crocodile m
seal phoque m | penguin manchot m | eagle aigle m | falcon faucon m | stork cigogne f | peacock paon m
turkey dinde f | calf veau m calves/ | lamb agneau m | foal poulain m | kitten chaton m | puppy chiot m
kangaroo kangourou m | panda panda m | leopard léopard m | panther panthère f | badger blaireau m
beaver castor m | otter loutre f | mole taupe f | lizard lézard m | toad crapaud m | crab crabe m
lobster homard m | octopus poulpe m | oyster huître f | wasp guêpe f | cricket grillon m | grasshopper sauterelle f
ladybird coccinelle f | flea puce f | hamster hamster m | ostrich autruche f | pelican pélican m
seagull mouette f | sparrow moineau m | swallow hirondelle f | blackbird merle m | weasel belette f
mare jument f | bull taureau m | ox bœuf m oxen/ | boar sanglier m | hyena hyène f | llama lama m | stag cerf m
vulture vautour m | caterpillar chenille f | dragonfly libellule f | scorpion scorpion m | gorilla gorille m
thing
book livre m +ORW | key clé f | ball balle f | bag sac m +OC | box boîte f +OC | letter lettre f +ORW | cup tasse f +C
lamp lampe f +L | watch montre f | knife couteau m knives/ | bottle bouteille f +OC
basket panier m +OC | umbrella parapluie m +O | map carte f | ring bague f | doll poupée f | drum tambour m
candle bougie f +L | flag drapeau m | toy jouet m | plate assiette f | rope corde f | bell cloche f | stone pierre f
glass verre m +C | pen stylo m | pencil crayon m | photo photo f | newspaper journal m +OR | spoon cuillère f
fork fourchette f | telephone téléphone m | guitar guitare f | violin violon m | bowl bol m +C | bucket seau m +C
hammer marteau m | broom balai m | nail clou m | saw scie f | axe hache f | needle aiguille f | button bouton m
blanket couverture f | pillow oreiller m | towel serviette f | brush brosse f | comb peigne m
suitcase valise f +OC | parcel colis m +O | envelope enveloppe f +O | stamp timbre m | coin pièce f
wallet portefeuille m +O | necklace collier m | bracelet bracelet m | crown couronne f | sword épée f
shield bouclier m | arrow flèche f | bow arc m | spear lance f | gun fusil m | trumpet trompette f | flute flûte f
harp harpe f | balloon ballon m | puzzle puzzle m | statue statue f | vase vase m +C | jug cruche f +C
tray plateau m | teapot théière f +OC | saucepan casserole f +C | lock serrure f | chain chaîne f | wheel roue f
tyre pneu m /pneus | anchor ancre f | net filet m | tent tente f | lantern lanterne f +L | match allumette f +L
pipe pipe f | rubber gomme f | notebook cahier m +OR | dictionary dictionnaire m +OR | magazine magazine m +OR
poster affiche f | compass boussole f | globe globe m | fan éventail m | cane canne f | crutch béquille f
brick brique f | plank planche f | cage cage f +O | nest nid m | feather plume f | shell coquillage m | bone os m
pebble caillou m /cailloux | jewel bijou m /bijoux | pearl perle f | diamond diamant m | treasure trésor m
anvil enclume f | shovel pelle f | rake râteau m | spade bêche f | wheelbarrow brouette f | sieve tamis m
funnel entonnoir m | ladle louche f | lid couvercle m | cork bouchon m | whistle sifflet m | hourglass sablier m
medal médaille f | mask masque m | puppet marionnette f | barrel tonneau m +OC | torch torche f +L
furniture
table table f | chair chaise f | bed lit m | door porte f +O | window fenêtre f +O | clock horloge f
mirror miroir m | desk bureau m | bench banc m | cupboard placard m +O | sofa canapé m | wardrobe armoire f +O
shelf étagère f shelves/ | carpet tapis m | curtain rideau m | drawer tiroir m +OC | chest coffre m +OC
piano piano m | ladder échelle f | stool tabouret m | oven four m +O | cradle berceau m | armchair fauteuil m
screen écran m | hammock hamac m | chandelier lustre m | mattress matelas m | cushion coussin m
clothes
hat chapeau m | shirt chemise f | coat manteau m | shoe chaussure f | dress robe f | glove gant m
scarf écharpe f scarves/ | skirt jupe f | jacket veste f | sock chaussette f | boot botte f | belt ceinture f
sweater pull m | tie cravate f | cap casquette f | sandal sandale f | slipper pantoufle f | apron tablier m
suit costume m | waistcoat gilet m | raincoat imperméable m | swimsuit maillot m | shawl châle m | clog sabot m
uniform uniforme m | mitten moufle f | cape cape f | wig perruque f | ribbon ruban m | blouse chemisier m
food
apple pomme f +V | bread pain m - | cake gâteau m | egg œuf m | cheese fromage m - | soup soupe f - | meat viande f -
pear poire f +V | orange orange f +V | tomato tomate f tomatoes/ +V | carrot carotte f +V | rice riz m -
lemon citron m +V | onion oignon m +V | biscuit biscuit m | nut noix f | cherry cerise f +V | butter beurre m -
mushroom champignon m | sausage saucisse f | chocolate chocolat m - | sugar sucre m - | salt sel m -
honey miel m - | jam confiture f - | banana banane f +V | strawberry fraise f +V | salad salade f
peach pêche f +V | plum prune f +V | bean haricot m +V | cabbage chou m /choux +V | leek poireau m +V
cucumber concombre m +V | melon melon m +V | pumpkin citrouille f +V | lettuce laitue f +V | pie tarte f
pancake crêpe f | sandwich sandwich m | ham jambon m - | flour farine f - | cream crème f - | oil huile f -
pepper poivre m - | garlic ail m - | mustard moutarde f - | vinegar vinaigre m - | yogurt yaourt m | sweet bonbon m
waffle gaufre f | omelette omelette f | croissant croissant m | raspberry framboise f +V | apricot abricot m +V
pineapple ananas m +V | fig figue f +V | date datte f +V | hazelnut noisette f | almond amande f
chestnut châtaigne f | peanut cacahuète f | olive olive f +V | radish radis m +V | turnip navet m +V
artichoke artichaut m +V | aubergine aubergine f +V | courgette courgette f +V | beetroot betterave f +V
celery céleri m - | parsley persil m - | mint menthe f - | lentil lentille f | noodle nouille f | sauce sauce f -
roast rôti m | steak steak m | chop côtelette f | meatball boulette f | brioche brioche f | macaroon macaron m
caramel caramel m | blackberry mûre f +V | blueberry myrtille f +V | redcurrant groseille f +V | quince coing m +V
grapefruit pamplemousse m +V | tangerine mandarine f +V | mango mangue f mangoes/ +V | kiwi kiwi m +V | bacon lard m -
drink
water eau f - | milk lait m - | coffee café m - | tea thé m - | juice jus m - | wine vin m - | beer bière f -
lemonade limonade f - | cider cidre m - | cocoa cacao m - | syrup sirop m - | broth bouillon m - | rum rhum m -
champagne champagne m -
plant
tree arbre m | flower fleur f +V | rose rose f +V | leaf feuille f leaves/ | bush buisson m | tulip tulipe f +V
branch branche f | oak chêne m | fir sapin m | vine vigne f | root racine f | seed graine f | daisy marguerite f +V
hedge haie f | pine pin m | sunflower tournesol m +V | poppy coquelicot m +V | willow saule m | birch bouleau m
poplar peuplier m | cactus cactus m | fern fougère f | thistle chardon m | nettle ortie f | reed roseau m
orchid orchidée f +V | carnation œillet m +V | daffodil jonquille f +V | maple érable m | ash frêne m | beech hêtre m
elm orme m | hyacinth jacinthe f +V | iris iris m +V | lilac lilas m | peony pivoine f +V
vehicle
car voiture f +D | boat bateau m | bicycle vélo m | train train m +D | bus bus m +D | ship navire m | plane avion m
cart charrette f | truck camion m +D | taxi taxi m +D | tractor tracteur m +D | motorcycle moto f +D
carriage carrosse m | sledge traîneau m | canoe canoë m | raft radeau m | helicopter hélicoptère m
van camionnette f +D | tram tram m +D | rocket fusée f | ambulance ambulance f +D | barge péniche f
gondola gondole f | tricycle tricycle m | yacht yacht m
place
house maison f +inbB | garden jardin m +in | school école f +inbtB | street rue f +iX | village village m +intX
kitchen cuisine f +i | church église f +inbtB | market marché m +nt | shop boutique f +inbt | station gare f +inbtB
park parc m +intX | forest forêt f +inX | river rivière f +nX | town ville f +inX | bridge pont m +onXB
beach plage f +ont | farm ferme f +nt | library bibliothèque f +inbtB | museum musée m +inbtB
castle château m +inbtB | tower tour f +inbB | field champ m +inX | hospital hôpital m +inbtB | hotel hôtel m +inbtB
theatre théâtre m +inbtB | lake lac m +ntX | mountain montagne f +nt | island île f +on | sea mer f +ntX
road route f +onX | hill colline f +on | square place f +onX | bedroom chambre f +i | restaurant restaurant m +inbt
garage garage m +inbB | cellar cave f +i | attic grenier m +i | barn grange f +inbB | stable écurie f +inbB
well puits m +n | mill moulin m +inbtB | inn auberge f +inbt | bakery boulangerie f +inbt | pharmacy pharmacie f +inbt
bank banque f +inbt | cinema cinéma m +inbt | factory usine f +inbtB | port port m +nt | airport aéroport m +ntB
prison prison f +inbB | palace palais m +inbtB | cathedral cathédrale f +inbtB | chapel chapelle f +inbtB
temple temple m +inbtB | cemetery cimetière m +intX | desert désert m +iX | valley vallée f +inX | cave grotte f +in
waterfall cascade f +nt | stream ruisseau m +nX | pond étang m +nt | meadow pré m +inX | orchard verger m +inX
vineyard vignoble m +in | path sentier m +onX | tunnel tunnel m +inXB | volcano volcan m volcanoes/ +n
swamp marais m +nX | jungle jungle f +iX | cliff falaise f +on | terrace terrasse f +on | balcony balcon m +on
roof toit m +on | corridor couloir m +iX | courtyard cour f +iX | fountain fontaine f +nb | zoo zoo m +nt
circus cirque m +nt | stadium stade m +intB | pool piscine f +nt | workshop atelier m +inbt
laboratory laboratoire m +inb | university université f +inbt | embassy ambassade f +inbt
monastery monastère m +inbtB
abbey abbaye f +inbtB | convent couvent m +inbt | hut cabane f +inbB | cottage chaumière f +inb
lighthouse phare m +nbtB | dam barrage m +onB | canal canal m +nX | capital capitale f +i
kingdom royaume m +iX
word
story histoire f +RWT | song chanson f +W | question question f | word mot m +RW | name nom m +RW | answer réponse f
idea idée f | game jeu m | dream rêve m +T | lesson leçon f | poem poème m +RW | secret secret m | problem problème m
mistake erreur f | rule règle f | joke blague f +T | lie mensonge m | speech discours m +RW | prayer prière f
legend légende f +RT | riddle devinette f | proverb proverbe m +R | tale conte m +RWT | recipe recette f +RW
sentence phrase f +RW | novel roman m +RW | report rapport m +RW | message message m +RW | melody mélodie f
title titre m +RW | chapter chapitre m +RW | page page f +RW | theorem théorème m | anecdote anecdote f +T
fable fable f +RWT | rumour rumeur f
"""
